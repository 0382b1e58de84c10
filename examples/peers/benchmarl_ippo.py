"""BenchMARL's IPPO with an agent for threads and one for calls: pip install benchmarl"""

import torch
from benchmarl import algorithms, experiment, models
from benchmarl.environments.pettingzoo.common import PettingZooClass
from judge import judge
from tensordict import TensorDict
from torchrl.envs import PettingZooWrapper

import meshgym


class Mesh(PettingZooClass):
    supports_continuous_actions = has_state = has_render = lambda *_: False
    supports_discrete_actions = lambda *_: True  # noqa: E731

    def get_env_fun(self, num_envs, continuous_actions, seed, device):
        env = meshgym.parallel_env(["S3"], normalised=True, max_episode_steps=100)
        return lambda: PettingZooWrapper(env, categorical_actions=True, device=device, seed=seed)


def train(iterations=15):
    config = experiment.ExperimentConfig.get_from_yaml()
    config.max_n_iters, config.max_n_frames, config.on_policy_collected_frames_per_batch = iterations, None, 2000
    config.gamma, config.lr, config.loggers, config.evaluation, config.create_json = 0.0, 1e-3, [], False, False
    parts = algorithms.IppoConfig.get_from_yaml(), models.MlpConfig.get_from_yaml()
    run = experiment.Experiment(Mesh("MESH", {"max_cycles": 100}), *parts, seed=0, config=config)
    run.run()

    def choose(seen):
        groups = {name: {"observation": torch.from_numpy(seen)[:, None]} for name in run.group_map}
        found = run.policy(TensorDict(groups, batch_size=len(seen)))
        return torch.column_stack([found[name, "logits"].argmax(-1).flatten() for name in groups]).numpy()

    return choose


if __name__ == "__main__":
    judge(train(), "BenchMARL IPPO")
