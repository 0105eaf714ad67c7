// A meshed ball with a hole, as gmsh shows it.
SetFactory("OpenCASCADE");
Sphere(1) = {0, 0, 0, 1};
Cylinder(2) = {-2, 0, 0, 4, 0, 0, 0.4};
BooleanDifference{ Volume{1}; Delete; }{ Volume{2}; Delete; }
Mesh.MeshSizeMax = 0.3;
Mesh.SurfaceFaces = 1;
General.GraphicsWidth = 500;
General.GraphicsHeight = 400;
General.Trackball = 0;
General.RotationX = 300;
General.RotationY = 20;
Mesh 2;
