"""Tianshou's DQN, on a batch of eight environments.

pip install tianshou
python examples/peers/tianshou_dqn.py
"""

import gymnasium as gym
import torch
from judge import judge
from tianshou.algorithm import DQN
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OffPolicyTrainerParams
from tianshou.utils.net.common import Net


def train(steps=20_000):
    arguments = {"control": "both", "flat": True, "normalised": True, "max_episode_steps": 100}
    envs = DummyVectorEnv([lambda: gym.make("meshgym:MeshResilience-S3-v0", **arguments)] * 8)
    envs.seed(0)
    actions, observations = envs.action_space[0], envs.observation_space[0]
    torch.manual_seed(0)
    network = Net(state_shape=observations.shape, action_shape=actions.n, hidden_sizes=[256])
    policy = DiscreteQLearningPolicy(model=network, action_space=actions, eps_training=0.2)
    agent = DQN(policy=policy, optim=AdamOptimizerFactory(lr=1e-3), gamma=0.0)
    collector = Collector(agent, envs, VectorReplayBuffer(20_000, 8), exploration_noise=True)
    collector.reset()
    collector.collect(n_step=1000, random=True)
    sizes = {"max_epochs": 1, "epoch_num_steps": steps, "collection_step_num_env_steps": 8, "batch_size": 128}
    agent.run_training(
        OffPolicyTrainerParams(training_collector=collector, show_progress=False, verbose=False, **sizes)
    )
    return lambda seen: network(seen)[0].argmax(dim=1).numpy()


if __name__ == "__main__":
    judge(train(), "Tianshou DQN")
