"""The pure core: no sockets, no files, no clock it was not handed."""
