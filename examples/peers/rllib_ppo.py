"""RLlib's PPO, on the registered environment.

pip install "ray[rllib]"
python examples/peers/rllib_ppo.py
"""

import gymnasium as gym
import torch
from judge import judge
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.tune.registry import register_env


def make(config):
    return gym.make("meshgym:MeshResilience-S3-v0", max_episode_steps=100, control="both", flat=True, normalised=True)


def train(iterations=20):
    register_env("mesh", make)
    config = PPOConfig().environment("mesh").env_runners(num_env_runners=0, num_envs_per_env_runner=8)
    config = config.training(gamma=0.0, lr=1e-3, train_batch_size=2000, minibatch_size=250, num_epochs=5)
    algorithm = config.debugging(seed=0, log_level="ERROR").build_algo()
    for _ in range(iterations):
        algorithm.train()
    module = algorithm.get_module().eval()

    def choose(seen):
        with torch.no_grad():
            found = module.forward_inference({Columns.OBS: torch.from_numpy(seen)})
        return found[Columns.ACTION_DIST_INPUTS].argmax(dim=1).numpy()

    return choose


if __name__ == "__main__":
    judge(train(), "RLlib PPO")
