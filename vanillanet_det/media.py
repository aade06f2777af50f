"""The image and video files that are read everywhere: datasets, detection, sample images."""

# OpenCV decodes images by their content; what it can't decode is reported when it is loaded.
IMAGES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".jp2", ".j2k", ".png", ".apng", ".gif"),
    *(".webp", ".avif", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm", ".ras", ".sr"),
)
ANIMATED_IMAGES = (".gif", ".png", ".apng", ".webp", ".avif", ".tif", ".tiff")  # or of pages
# Photographs that no version of OpenCV decodes.
UNSUPPORTED_IMAGES = (
    *(".heic", ".heif", ".hif", ".jxl", ".jxr", ".tga", ".psd", ".dds", ".pcx", ".qoi"),
    *(".dng", ".arw", ".cr2", ".cr3", ".nef", ".orf", ".raf", ".rw2"),
)
VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".avi", ".divx", ".mkv", ".webm", ".mpg"),
    *(".mpeg", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".wmv", ".asf", ".flv", ".f4v", ".ogv"),
    *(".mxf", ".mjpeg", ".mjpg"),
)
CONVERT = "convert such images to JPEG or PNG"


def has_ending(name: str, endings: tuple[str, ...]) -> bool:
    """Return whether a file's name has one of the given lower-case endings, in any case."""
    return name.lower().endswith(endings)
