"""skrl's DQN on a vector environment of meshgym.

pip install skrl && python examples/peers/skrl_dqn.py
"""

import gymnasium as gym
import torch
from judge import judge
from skrl.agents.torch.dqn import DQN, DQN_CFG
from skrl.envs.wrappers.torch import wrap_env
from skrl.memories.torch import RandomMemory
from skrl.models.torch import DeterministicMixin, Model
from skrl.trainers.torch import SequentialTrainer, SequentialTrainerCfg


class Network(DeterministicMixin, Model):
    def __init__(self, spaces):
        Model.__init__(self, **spaces, device="cpu")
        DeterministicMixin.__init__(self)
        self.layers = torch.nn.Sequential(torch.nn.Linear(7, 256), torch.nn.ReLU(), torch.nn.Linear(256, 70))

    def compute(self, inputs, role=""):
        return self.layers(inputs["observations"]), {}


def train(steps=3_000):
    arguments = {"control": "both", "flat": True, "normalised": True, "autoreset_mode": "SameStep"}
    env = wrap_env(gym.make_vec("meshgym:MeshResilience-S3-v0", num_envs=16, **arguments), verbose=False)
    spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
    models = {name: Network(spaces) for name in ("q_network", "target_q_network")}
    cfg = DQN_CFG(batch_size=128, discount_factor=0.0, learning_starts=20, experiment={"write_interval": 0})
    memory = RandomMemory(memory_size=2_000, num_envs=16, device="cpu")
    agent = DQN(models=models, memory=memory, cfg=cfg, device="cpu", **spaces)
    SequentialTrainer(cfg=SequentialTrainerCfg(timesteps=steps), env=env, agents=agent).train()
    return lambda seen: models["q_network"].layers(torch.from_numpy(seen)).argmax(dim=1).numpy()


if __name__ == "__main__":
    judge(train(), "skrl DQN")
