"""Stable-Baselines3's DQN, unchanged, learns how many calls break a service.

pip install stable-baselines3
python examples/stable_baselines3_dqn.py
"""

import gymnasium as gym
from stable_baselines3 import DQN
from stable_baselines3.common.evaluation import evaluate_policy

import meshgym  # noqa: F401 (registers the ids)


def main(steps: int = 20_000, episodes: int = 3, **arguments) -> float:
    """Train; return the mean reward per step over some episodes. ``arguments`` go to the environment."""
    env = gym.make("MeshResilience-S2-v0", control="calls", **arguments)
    env = gym.wrappers.RescaleObservation(env, 0, 1)
    agent = DQN("MlpPolicy", env, gamma=0, learning_rate=1e-3, learning_starts=100, seed=0)
    agent.learn(steps)
    reward, _ = evaluate_policy(agent, agent.get_env(), n_eval_episodes=episodes)
    return reward / env.spec.max_episode_steps


if __name__ == "__main__":
    print(f"503s per second: {main():.1f}")
