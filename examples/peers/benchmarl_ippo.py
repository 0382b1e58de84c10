"""BenchMARL's IPPO with an agent for threads and one for calls: pip install benchmarl"""

import tempfile

import numpy as np
import torch
from benchmarl.algorithms import IppoConfig
from benchmarl.environments.pettingzoo.common import PettingZooClass
from benchmarl.experiment import Experiment, ExperimentConfig
from benchmarl.models.mlp import MlpConfig
from judge import judge
from tensordict import TensorDict
from torchrl.envs import PettingZooWrapper

import meshgym


class Mesh(PettingZooClass):
    supports_continuous_actions = has_state = has_render = lambda self, *_: False
    supports_discrete_actions = lambda self: True  # noqa: E731

    def get_env_fun(self, num_envs, continuous_actions, seed, device):
        env = meshgym.parallel_env(["S3"], normalised=True, max_episode_steps=100)
        return lambda: PettingZooWrapper(env, categorical_actions=True, device=device, seed=seed)


def train(iterations=15):
    config = ExperimentConfig.get_from_yaml()
    config.max_n_iters, config.max_n_frames, config.on_policy_collected_frames_per_batch = iterations, None, 2000
    config.gamma, config.lr, config.loggers, config.evaluation = 0.0, 1e-3, [], False
    config.save_folder, config.create_json = tempfile.mkdtemp(), False
    task = Mesh("MESH", {"max_cycles": 100})
    experiment = Experiment(task, IppoConfig.get_from_yaml(), MlpConfig.get_from_yaml(), seed=0, config=config)
    experiment.run()

    def choose(seen):
        groups = {name: {"observation": torch.from_numpy(seen)[:, None]} for name in ("threads", "calls")}
        found = experiment.policy(TensorDict(groups, batch_size=len(seen)))
        return np.column_stack([found[name, "logits"].argmax(dim=-1).numpy().reshape(-1) for name in groups])

    return choose


if __name__ == "__main__":
    judge(train(), "BenchMARL IPPO")
