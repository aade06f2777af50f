"""What a fine-tuning derives from its data and its weights: pictures, anchors, schedule, model."""
