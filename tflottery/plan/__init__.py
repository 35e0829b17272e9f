"""What many commands cost together, before there is a store, a data set or a GPU.

`__main__` is the program, `commands` reads which commands there are, `known_data` tells
facts of networks by the published sizes of data sets, `device_time` turns a plan into
hours by kind of device.
"""
