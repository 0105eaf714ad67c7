"""An isosurface that turns, as a program of VTK's draws it: python3-vtk9, one window, no end.

Arguments: width, height, samples along a side (the surface has about five triangles for each square of a side's samples).
"""

import sys

import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  (makes windows OpenGL's)
from vtkmodules.vtkCommonDataModel import vtkQuadric
from vtkmodules.vtkFiltersCore import vtkContourFilter
from vtkmodules.vtkImagingHybrid import vtkSampleFunction
from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper, vtkRenderer, vtkRenderWindow

width, height, samples = (int(word) for word in sys.argv[1:4])

quadric = vtkQuadric()
quadric.SetCoefficients(0.5, 1.0, 0.2, 0.0, 0.1, 0.0, 0.0, 0.2, 0.0, 0.0)
sample = vtkSampleFunction()
sample.SetSampleDimensions(samples, samples, samples)
sample.SetImplicitFunction(quadric)
contour = vtkContourFilter()
contour.SetInputConnection(sample.GetOutputPort())
contour.GenerateValues(5, 0.0, 1.2)
mapper = vtkPolyDataMapper()
mapper.SetInputConnection(contour.GetOutputPort())
mapper.SetScalarRange(0.0, 1.2)
actor = vtkActor()
actor.SetMapper(mapper)

renderer = vtkRenderer()
renderer.SetBackground(0.1, 0.2, 0.4)
renderer.AddActor(actor)
window = vtkRenderWindow()
window.SetSize(width, height)
window.SetPosition(0, 0)
window.SetWindowName("isosurface")
window.AddRenderer(renderer)
camera = renderer.GetActiveCamera()
camera.Elevation(20)
renderer.ResetCamera()
camera.Zoom(1.3)
while True:
    camera.Azimuth(1)
    window.Render()
