"""A PettingZoo parallel loop in plain PyTorch: one agent for threads and one for calls, for each of two services.

python examples/parallel_agents.py
"""

import numpy as np
import torch

import meshgym


class Agent:
    """Predicts the shared reward of each action from the observation."""

    def __init__(self, observation_space, action_space, seed: int) -> None:
        self.low = observation_space.low
        self.width = observation_space.high - observation_space.low
        self.n_actions = int(action_space.n)
        torch.manual_seed(seed)
        self.generator = np.random.default_rng(seed)
        self.network = torch.nn.Sequential(
            torch.nn.Linear(len(self.low), 64), torch.nn.ReLU(), torch.nn.Linear(64, self.n_actions)
        )
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=1e-3)

    def values(self, observation):
        return self.network(torch.from_numpy((observation - self.low) / self.width))

    def act(self, observation, exploration: float) -> int:
        if self.generator.random() < exploration:
            return int(self.generator.integers(self.n_actions))
        return int(self.values(observation).argmax())

    def learn(self, observation, action: int, reward: float) -> None:
        loss = (self.values(observation)[action] - reward) ** 2
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


def main(steps: int = 3_000, services=("S1", "S2"), **arguments) -> list[float]:
    """Train; return the sum of all agents' rewards for each step. ``arguments`` go to the environment."""
    env = meshgym.parallel_env(services=services, control="both", beta=0.5, **arguments)
    agents = {
        name: Agent(env.observation_space(name), env.action_space(name), seed)
        for seed, name in enumerate(env.possible_agents)
    }
    history: list[float] = []
    observations, _ = env.reset(seed=0)
    for step in range(steps):
        exploration = max(0.05, 1 - 2 * step / steps)
        actions = {name: agents[name].act(observations[name], exploration) for name in env.agents}
        following, rewards, _, _, _ = env.step(actions)
        for name, action in actions.items():
            agents[name].learn(observations[name], action, rewards[name] / 100)
        history.append(sum(rewards.values()))
        observations = following if env.agents else env.reset()[0]
    return history


if __name__ == "__main__":
    rewards = main()
    first, last = np.mean(rewards[:300]), np.mean(rewards[-300:])
    print(f"sum of rewards per step: {first:.1f} in the first tenth, {last:.1f} in the last")
