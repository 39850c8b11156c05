"""A Jupyter Server as a transport: files through its contents and files services, scripts through kernels."""
