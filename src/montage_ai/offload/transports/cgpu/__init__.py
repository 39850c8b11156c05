"""A free GPU of Google Colab, through the ``cgpu`` command line and the login that it keeps."""
