"""Learn a policy on the simulator and play it on a real Envoy: only the environment's id changes.

python examples/simulator_to_live.py
"""

from collections.abc import Callable

import gymnasium as gym
import numpy as np

import meshgym  # noqa: F401 (registers the ids)


def learn(env: gym.Env, steps: int) -> Callable[[np.ndarray], int]:
    """Fit a linear value of each action to random play; return the greedy policy."""
    low, width = env.observation_space.low, env.observation_space.high - env.observation_space.low
    observation, _ = env.reset(seed=0)
    env.action_space.seed(0)
    inputs, actions, rewards = [], [], []
    for _ in range(steps):
        action = env.action_space.sample()
        inputs.append(np.append((observation - low) / width, 1))
        actions.append(action)
        observation, reward, _, truncated, _ = env.step(action)
        rewards.append(reward)
        if truncated:
            observation, _ = env.reset()
    played, received = np.array(actions), np.array(rewards)
    weights = np.zeros((env.action_space.n, len(low) + 1))
    for action in set(actions):
        chosen = played == action
        weights[action] = np.linalg.lstsq(np.array(inputs)[chosen], received[chosen])[0]
    return lambda seen: int((weights @ np.append((seen - low) / width, 1)).argmax())


def play(env: gym.Env, policy: Callable[[np.ndarray], int], steps: int) -> float:
    """Return the mean reward of a policy."""
    observation, _ = env.reset(seed=1)
    rewards = []
    for _ in range(steps):
        observation, reward, *_ = env.step(policy(observation))
        rewards.append(reward)
    env.close()
    return float(np.mean(rewards))


def main(steps: int = 5_000, live_steps: int = 20, simulator=None, **arguments) -> tuple[float, float]:
    """Return the policy's mean reward on the simulator and on the mesh; ``arguments`` go to the environments."""
    env = gym.make("MeshResilience-S2-v0", control="calls", simulator=simulator, **arguments)
    policy = learn(env, steps)
    simulated = play(env, policy, live_steps)
    env = gym.make("LiveIstio-S2-v0", control="calls", **arguments)
    return simulated, play(env, policy, live_steps)


if __name__ == "__main__":
    print("503s per second: {:.1f} simulated, {:.1f} on Envoy".format(*main()))
