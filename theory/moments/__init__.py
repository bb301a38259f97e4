"""Second moments of two augmented views: from samples, from models, from files.

In reading order:

* `moments`: the type `Moments`, from views, merged.
* `check`: which moments are possible, and what is unusual in those that are.
* `files`: `MOMENTS.npz` and the other files that commands read and write.
* `alignment`: which directions survive augmentation, and how much of that is sampling noise.
* `augmentations`: moments of augmented data in closed form.
* `data_models`: independent features of given strength under resampling and dropping.
"""
