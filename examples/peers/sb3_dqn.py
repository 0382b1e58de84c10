"""Stable-Baselines3's DQN on both load fields: ``flat=True`` makes one Discrete of them.

pip install stable-baselines3
python examples/peers/sb3_dqn.py
"""

import gymnasium as gym
from judge import judge
from stable_baselines3 import DQN


def train(steps=30_000):
    env = gym.make("meshgym:MeshResilience-S3-v0", control="both", flat=True, normalised=True)
    agent = DQN("MlpPolicy", env, gamma=0, learning_rate=1e-3, learning_starts=500, exploration_fraction=0.6, seed=0)
    agent.learn(steps)
    return lambda seen: agent.predict(seen, deterministic=True)[0]


if __name__ == "__main__":
    judge(train(), "SB3 DQN")
