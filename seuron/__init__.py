"""seuron: electron-microscope volumes become segmented neurons.

Conventions used everywhere, said once:

* arrays are `(X, Y, Z)` or `(X, Y, Z, C)`, x fastest (Fortran order);
* coordinates are voxels of the layer's own grid unless a name ends in `_nm`;
* a box is half open: `minimum` is inside, `maximum` is not;
* affinity channel `c` at voxel `v` is the affinity between `v` and `v - e_c`.

Importing this package loads neither torch, nor airflow, nor cloud-volume.
"""

__version__ = "0.1.0"
