"""Data sets: images by name, in memory or left on disk, the same pixels wherever they come from.

In reading order:

* `sources`: what a data set is, in memory (`Dataset`) and on disk (`ImageSource`).
* `datasets`: the table of data sets by name. To add one: a function and a line there.
* `decoding`: what is shown of an image file: upright, on black, 16 bits as 8, at one size.
* `folders`: folders of image files, with classes, with groups, or without either.
* `array_files`: images and labels in one .npz file, also MedMNIST's.
* `tfds`: data sets that TFDS has prepared.
* `composites`: pictures made of CIFAR-10 and MNIST, with known shortcuts.
* `clean_images`: what a network is measured on, at the size it was built for.
* `run_data`: what a run trains on: all images, or a sample and a source to stream the rest from.
* `batches`: which examples make up a step, a function of key and step.
* `streaming`: the same batches read from disk ahead of the training loop.
"""
