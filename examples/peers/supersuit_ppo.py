"""Stable-Baselines3's PPO with one policy for all agents of two services, made a vector by SuperSuit.

pip install supersuit stable-baselines3
python examples/peers/supersuit_ppo.py
"""

import numpy as np
import supersuit
from judge import judge
from stable_baselines3 import PPO

import meshgym


def train(steps=60_000):
    env = meshgym.parallel_env(["S3", "S1"], normalised=True, homogeneous=True, beta=0)
    envs = supersuit.concat_vec_envs_v1(supersuit.pettingzoo_env_to_vec_env_v1(env), 8, base_class="stable_baselines3")
    agent = PPO("MlpPolicy", envs, gamma=0, learning_rate=1e-3, n_steps=64, batch_size=512, device="cpu")
    agent.learn(steps)

    def choose(seen):  # threads_0 and calls_0 decide for S3; each knows its place
        parts = [np.column_stack([seen, np.tile(place, (len(seen), 1))]) for place in np.eye(4, dtype=np.float32)[:2]]
        chosen = [agent.predict(part, deterministic=True)[0] for part in parts]
        counts = [len(values) for values in meshgym.load_scenario("S3").actions.values()]
        return np.minimum(np.column_stack(chosen), np.array(counts) - 1)

    return choose


if __name__ == "__main__":
    judge(train(), "SuperSuit + SB3 PPO")
