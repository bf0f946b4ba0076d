//! Instances on Linux: drivers, images, networks, user data, the metadata service.
