"""Protocol buffers of Tangent Mesh."""
