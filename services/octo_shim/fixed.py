"""The answers that do not depend on what the printer does. Pure."""

from typing import Any

from services.octo_shim.core import View
from services.octo_shim.settings import Settings

SERVER_VERSION = "1.5.0"
"""The version of OctoPrint whose API this is."""

USER = {
    "_is_external_client": False,
    "_login_mechanism": "apikey",
    "name": "_api",
    "active": True,
    "user": True,
    "admin": True,
    "apikey": None,
    "permissions": [],
    "groups": ["admins", "users"],
}

UFP = {
    "align_inline_thumbnail": False,
    "inline_thumbnail": False,
    "inline_thumbnail_align_value": "left",
    "inline_thumbnail_scale_value": "50",
    "installed": True,
    "installed_version": "0.2.2",
    "scale_inline_thumbnail": False,
    "state_panel_thumbnail": True,
}
"""Cura uploads .ufp packages to whoever lists this plug-in, and plain G-code to everybody else."""

AXIS_SPEEDS = {"x": 6000.0, "y": 6000.0, "z": 6000.0, "e": 300.0}
"""mm/min, for the buttons of a client that moves axes by hand."""


def version(release: str) -> dict[str, Any]:
    """GET /api/version. Slicers go on when `text` begins with "OctoPrint"."""
    return {"server": SERVER_VERSION, "api": "0.1", "text": f"OctoPrint (moonbus {release})"}


def server(view: View) -> dict[str, Any]:
    """GET /api/server. Safe mode is what OctoPrint calls being up without a working printer."""
    return {"server": SERVER_VERSION, "safemode": None if view.klipper == "ready" else "settings"}


def settings(chosen: Settings) -> dict[str, Any]:
    """GET /api/settings."""
    return {
        "plugins": {"UltimakerFormatPackage": UFP} if chosen.enable_ufp else {},
        "feature": {"sdSupport": False, "temperatureGraph": False},
        "webcam": {
            "flipH": chosen.flip_h,
            "flipV": chosen.flip_v,
            "rotate90": chosen.rotate_90,
            "streamUrl": chosen.stream_url,
            "webcamEnabled": chosen.webcam_enabled,
        },
    }


def profiles(heaters: tuple[str, ...]) -> dict[str, Any]:
    """GET /api/printerprofiles."""
    profile = {
        "id": "_default",
        "name": "Default",
        "color": "default",
        "model": "Default",
        "default": True,
        "current": True,
        "heatedBed": "heater_bed" in heaters,
        "heatedChamber": "heater_generic chamber" in heaters,
        "axes": {axis: {"speed": speed, "inverted": False} for axis, speed in AXIS_SPEEDS.items()},
    }
    return {"profiles": {"_default": profile}}
