"""A share such as NFS is one, made of FUSE, and the real processes on it."""
