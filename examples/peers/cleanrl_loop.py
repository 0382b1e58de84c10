"""A loop as CleanRL has them: one file, one network, 256 environments that step together.

python examples/peers/cleanrl_loop.py
"""

import gymnasium as gym
import numpy as np
import torch
from judge import judge


def train(steps=600, num_envs=256):
    arguments = {"control": "both", "flat": True, "normalised": True, "autoreset_mode": "SameStep"}
    envs = gym.make_vec("meshgym:MeshResilience-S3-v0", num_envs=num_envs, **arguments)
    actions, inputs = int(envs.single_action_space.n), envs.single_observation_space.shape[0]
    torch.manual_seed(0)
    generator, scale = np.random.default_rng(0), None
    network = torch.nn.Sequential(torch.nn.Linear(inputs, 256), torch.nn.ReLU(), torch.nn.Linear(256, actions))
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    observations, _ = envs.reset(seed=0)
    for step in range(steps):
        values = network(torch.from_numpy(observations))
        random = generator.random(num_envs) < 1 - 1.5 * step / steps
        chosen = np.where(random, generator.integers(actions, size=num_envs), values.argmax(dim=1).numpy())
        observations, rewards, *_ = envs.step(chosen)
        scale = scale or rewards.std() + 1e-6
        predicted = values[torch.arange(num_envs), torch.from_numpy(chosen)]
        loss = torch.nn.functional.mse_loss(predicted, torch.from_numpy(rewards / scale).float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return lambda seen: network(torch.from_numpy(seen)).argmax(dim=1).numpy()


if __name__ == "__main__":
    judge(train(), "CleanRL-style")
