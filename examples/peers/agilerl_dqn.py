"""AgileRL's DQN and replay buffer, on 16 environments of meshgym.

pip install agilerl peft && python examples/peers/agilerl_dqn.py
"""

import gymnasium as gym
import numpy as np
import torch
from agilerl.algorithms.dqn import DQN
from agilerl.components.replay_buffer import ReplayBuffer
from judge import judge
from tensordict import TensorDict


def train(steps=2_000, num_envs=16):
    arguments = {"control": "both", "flat": True, "normalised": True, "autoreset_mode": "SameStep"}
    envs = gym.make_vec("meshgym:MeshResilience-S3-v0", num_envs=num_envs, **arguments)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (AgileRL explores with it)
    agent = DQN(envs.single_observation_space, envs.single_action_space, lr=1e-3, batch_size=128, gamma=0.0)
    buffer = ReplayBuffer(20_000)
    seen, _ = envs.reset(seed=0)
    for step in range(steps):
        chosen = agent.get_action(seen, epsilon=max(0.05, 1 - 1.5 * step / steps))
        following, rewards, ended, _, _ = envs.step(chosen)
        columns = {"obs": seen, "action": chosen, "reward": rewards, "next_obs": following, "done": ended}
        numbers = {name: torch.as_tensor(np.float32(column)) for name, column in columns.items()}
        buffer.add(TensorDict(numbers, batch_size=num_envs))
        if buffer.size > 256:
            agent.learn(buffer.sample(128))
        seen = following
    return lambda seen: agent.get_action(seen, epsilon=0.0)


if __name__ == "__main__":
    judge(train(), "AgileRL DQN")
