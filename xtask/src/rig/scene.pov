// Balls that mirror each other on a chessboard, by a soft light: what the agent of `cargo xtask demo agent` renders.
#version 3.7;
global_settings { assumed_gamma 1.0 max_trace_level 8 }
camera { location <0, 3, -8> look_at <0, 0.6, 0> angle 40 }
background { color rgb <0.3, 0.4, 0.6> }
light_source { <6, 9, -6> color rgb 1 area_light <2, 0, 0>, <0, 0, 2>, 4, 4 adaptive 1 jitter }
plane { y, 0 pigment { checker color rgb 0.9 color rgb 0.2 } finish { reflection 0.2 } }
#declare Column = 0;
#while (Column < 5)
  #declare Row = 0;
  #while (Row < 4)
    sphere { <Column - 2, 0.4, Row * 1.2 - 1>, 0.4
      pigment { color rgb <Column / 5, Row / 4, 0.6> }
      finish { reflection 0.4 specular 0.8 roughness 0.01 } }
    #declare Row = Row + 1;
  #end
  #declare Column = Column + 1;
#end
