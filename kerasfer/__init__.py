"""kerasfer: facial expression recognition with Keras 3."""
