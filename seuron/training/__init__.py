"""Nets from volumes with labels. Import from the submodules: this file loads no torch.

file            what a training file says                     volumes         its voxels, and what is wrong with them
augmentations/  random changes that leave the truth true      patches         patches, drawn by their number
targets         affinities of labels                          descriptors     shapes of bodies, as auxiliary outputs
loss            what is minimised                             state           weights, their average, the optimiser
processes       several of them, under torchrun               loop            the steps
curves          TensorBoard                                   thresholds      chosen by scores of segmentations
model           the file that is written, and its card        run             all of it, in order
"""
