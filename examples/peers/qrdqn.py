"""SB3-Contrib's QR-DQN, on four environments of Stable-Baselines3's own making.

pip install sb3-contrib
python examples/peers/qrdqn.py
"""

from judge import judge
from sb3_contrib import QRDQN
from stable_baselines3.common.env_util import make_vec_env


def train(steps=30_000):
    arguments = {"control": "both", "flat": True, "normalised": True}
    envs = make_vec_env("meshgym:MeshResilience-S3-v0", n_envs=4, seed=0, env_kwargs=arguments)
    agent = QRDQN("MlpPolicy", envs, gamma=0, learning_rate=1e-3, learning_starts=500, exploration_fraction=0.6, seed=0)
    agent.learn(steps)
    return lambda seen: agent.predict(seen, deterministic=True)[0]


if __name__ == "__main__":
    judge(train(), "SB3 QR-DQN")
