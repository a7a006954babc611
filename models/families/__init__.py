"""The families of the zoo: options, and the layers that they make."""
