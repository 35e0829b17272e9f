"""How long to measure: (timed, warm-up) iterations by network."""

# Through the package: workers start some seconds apart and have to overlap.
LENGTHS = {"lenet": (12_000, 800), "resnet20": (60, 4), "vgg16": (12, 2)}
# Peers and bare loops, which start at a common signal.
PEER_LENGTHS = {"lenet": (3_000, 300), "resnet20": (20, 3), "vgg16": (5, 2)}
