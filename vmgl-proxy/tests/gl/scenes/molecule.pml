# A small molecule in three of PyMOL's styles.
set antialias, 0
fragment trp
show sticks
show spheres, name CA+CB
set sphere_scale, 0.4
bg_color grey20
orient
turn y, 40
