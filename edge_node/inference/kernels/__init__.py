"""Kernels: covariance functions of infinitely wide networks, and two classical ones.

Read `activations` (one nonlinearity), `layers` (a network of them), `dense` (the kernel that the
project exists for), and `kernel` (the protocol and the grid). `homogeneous` makes a ReLU network
one function of one number; `gradients` differentiates; `stationary` and `convolutional` (with
`pixels`) are the others, `ranges` checks all kernels' parameters, and `oracle` asks
neural-tangents, for tests.
"""
