"""A training on a Ray cluster: python examples/cluster/ray_train.py --shards DIR --output RUN --workers 4

Ray Train starts the workers and tells them of one another (TF_CONFIG). One that is lost costs the time since the last
checkpoint: all start again, in the same folder, which every machine sees.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def train(options: dict[str, Any]) -> None:
    """What each worker does."""
    import kerasfer
    from kerasfer.data import Recipe
    from kerasfer.models import model_class

    # The config and not the model: what shares the batches has to be made before anything else of TensorFlow.
    config = getattr(model_class(options["model"]).Config, options["size"])().replace(epochs=options["epochs"])
    recipe = Recipe(train=kerasfer.datasets.load("shards", options["shards"]), seed=config.seed)
    kerasfer.train(config, recipe, options["output"], save_every=options["save_every"], verbose=2)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", required=True, help="the folder that kerasfer data shard wrote")
    parser.add_argument("--output", required=True, help="the folder of the run")
    parser.add_argument("--model", default="edge")
    parser.add_argument("--size", default="small", help="paper, small or tiny")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cpus", type=int, default=1, help="of a worker")
    parser.add_argument("--save-every", type=float, default=120.0, help="seconds between checkpoints")
    options = parser.parse_args(arguments)

    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.tensorflow import TensorflowTrainer

    trainer = TensorflowTrainer(
        train,
        train_loop_config={
            **vars(options),
            "shards": str(Path(options.shards).absolute()),
            "output": str(Path(options.output).absolute()),
        },
        scaling_config=ScalingConfig(num_workers=options.workers, resources_per_worker={"CPU": options.cpus}),
        run_config=RunConfig(
            storage_path=str(Path(options.output).absolute() / "ray"), failure_config=FailureConfig(max_failures=20)
        ),
    )
    trainer.fit()
    print(f"trained: {options.output}")


if __name__ == "__main__":
    main()
