"""The page at `/`, for people who open the address in a browser."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>moonbus</title></head>
<body>
<h1>moonbus</h1>
<p>This is the API of a 3D printer, spoken the way Moonraker speaks it. There is nothing to see here: point a web
interface (Mainsail, Fluidd), KlipperScreen or a slicer at this address.</p>
<p>Is it running? <a href="server/info">server/info</a> says so.</p>
</body>
</html>
"""
