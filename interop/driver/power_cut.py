"""Shuts the file system under a directory down as a power cut would: without flushing its log."""

import fcntl
import os
import struct
import sys

FS_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
FLAGS_NO_LOG_FLUSH = 2

directory = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(directory, FS_IOC_SHUTDOWN, struct.pack("I", FLAGS_NO_LOG_FLUSH))
