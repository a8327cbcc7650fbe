"""Loopback stand-ins for the vendors' clouds: they speak the vendors' HTTP to the real SDKs, and
run what they are asked to in our own local sandbox."""
