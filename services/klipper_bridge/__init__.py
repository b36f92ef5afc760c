"""klipper_bridge: the one connection to Klipper."""
