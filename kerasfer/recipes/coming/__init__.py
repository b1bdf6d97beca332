"""Plans that are to take the place of those of bundled models, once they are trained: a module a model.

    python scripts/build_zoo.py --coming --model g2fer --data DIR --train generator

They bundle and measure nothing yet. When one has been trained and measured, its module moves up, in the other's place.
"""
