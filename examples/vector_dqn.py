"""A CleanRL-style loop: one file, one loop, thousands of environments.

Rules don't depend on actions, so the value of an action is its reward: no target network, no discount. Threads and
calls are chosen together: the network has one output per pair.

    python examples/vector_dqn.py
"""

import gymnasium as gym
import numpy as np
import torch

import meshgym  # noqa: F401 (registers the ids)


def main(steps: int = 300, num_envs: int = 512, **arguments) -> tuple[float, float]:
    """Train; return the mean rewards of a random and of the greedy policy. ``arguments`` go to the environment."""
    arguments = {"control": "both", "autoreset_mode": "SameStep", **arguments}
    envs = gym.make_vec("MeshResilience-S2-v0", num_envs=num_envs, **arguments)
    n_threads, n_calls = envs.single_action_space.nvec
    low = torch.from_numpy(envs.single_observation_space.low)
    width = torch.from_numpy(envs.single_observation_space.high) - low
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(len(low), 256), torch.nn.ReLU(), torch.nn.Linear(256, int(n_threads * n_calls))
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    scale = None
    random_reward, greedy_reward = 0.0, 0.0
    observations, _ = envs.reset(seed=0)
    for step in range(steps):
        values = network((torch.from_numpy(observations) - low) / width)
        greedy = values.argmax(dim=1).numpy()
        explores = generator.random(num_envs) < max(0.05, 1 - 2 * step / steps)
        pairs = np.where(explores, generator.integers(n_threads * n_calls, size=num_envs), greedy)
        observations, rewards, *_ = envs.step(np.stack(np.divmod(pairs, n_calls), axis=1))
        scale = scale or rewards.std() + 1e-6
        targets = torch.from_numpy(rewards / scale).float()
        loss = torch.nn.functional.mse_loss(values.gather(1, torch.from_numpy(pairs)[:, None])[:, 0], targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step == 0:
            random_reward = rewards.mean()  # the first step only explores
        greedy_reward = rewards[~explores].mean() if (~explores).any() else greedy_reward
    return float(random_reward), float(greedy_reward)


if __name__ == "__main__":
    print("503s per second: {:.1f} random, {:.1f} learned".format(*main()))
