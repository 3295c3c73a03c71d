"""An RTSP server: ``/usr/bin/python3 rtsp_server.py PORT PIPELINE``; needs Debian's gir1.2-gst-rtsp-server-1.0."""

import sys

import gi

gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer(address="127.0.0.1", service=sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory(launch=sys.argv[2], shared=True)
server.get_mount_points().add_factory("/1", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
