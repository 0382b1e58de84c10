"""TorchRL's DQN loss and replay buffer around its own wrapper of the environment.

pip install torchrl && python examples/peers/torchrl_dqn.py
"""

import gymnasium as gym
import torch
from judge import judge
from tensordict.nn import TensorDictModule, TensorDictSequential
from torchrl.collectors import Collector
from torchrl.data import LazyTensorStorage, ReplayBuffer
from torchrl.envs import GymWrapper
from torchrl.modules import MLP, EGreedyModule, QValueModule
from torchrl.objectives import DQNLoss


def train(steps=20_000):
    env = GymWrapper(gym.make("meshgym:MeshResilience-S3-v0", control="both", flat=True, normalised=True))
    env.auto_register_info_dict()
    torch.manual_seed(0)
    env.set_seed(0)
    network = MLP(in_features=7, out_features=env.action_spec.space.n, num_cells=[256])
    values = TensorDictModule(network, in_keys=["observation"], out_keys=["action_value"])
    policy = TensorDictSequential(values, QValueModule(spec=env.action_spec))
    explore = TensorDictSequential(policy, EGreedyModule(env.action_spec, eps_init=0.3, eps_end=0.3))
    loss = DQNLoss(policy, action_space=env.action_spec, delay_value=False)
    loss.make_value_estimator(gamma=0.0)
    optimiser = torch.optim.Adam(loss.parameters(), lr=1e-3)
    buffer = ReplayBuffer(storage=LazyTensorStorage(20_000), batch_size=128)
    for batch in Collector(env, explore, frames_per_batch=50, total_frames=steps):
        buffer.extend(batch.reshape(-1))
        for _ in range(20):
            optimiser.zero_grad()
            loss(buffer.sample())["loss"].backward()
            optimiser.step()
    return lambda seen: network(torch.from_numpy(seen)).argmax(dim=1).numpy()


if __name__ == "__main__":
    judge(train(), "TorchRL DQN")
