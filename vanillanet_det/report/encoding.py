"""Images within an HTML file."""

import base64
import io

from PIL import Image

_QUALITY = 80


def jpeg_url(image: Image.Image) -> str:
    """Return an image as the `data:` URL of a JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
