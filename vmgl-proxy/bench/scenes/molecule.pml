# A molecule that turns without end, as PyMOL's users show one: sticks, some balls, shaders.
set antialias, 0
fragment trp
show sticks
show spheres, name CA+CB
set sphere_scale, 0.4
bg_color grey20
orient
turn y, 40
set movie_fps, 60
mset 1 x120
util.mroll 1, 120
mplay
