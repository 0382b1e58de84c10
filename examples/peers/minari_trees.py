"""Record random play with Minari, infos too, and learn the best of it: a policy from a dataset alone.

pip install "minari[create,hdf5]"
python examples/peers/minari_trees.py
"""

import gymnasium as gym
import minari
import numpy as np
from judge import judge
from sklearn.ensemble import ExtraTreesRegressor


def train(steps=10_000, name="mesh/random-v0"):
    env = gym.make("meshgym:MeshResilience-S3-v0", control="both", flat=True, normalised=True, max_episode_steps=500)
    actions, calls = int(env.action_space.n), len(env.unwrapped.actions.values["calls"])
    recorder = minari.DataCollector(env, record_infos=True)
    env.action_space.seed(0)
    for episode in range(steps // 500):
        recorder.reset(seed=episode)
        for _ in range(500):
            recorder.step(env.action_space.sample())
    if name in minari.list_local_datasets():
        minari.delete_dataset(name)
    dataset = recorder.create_dataset(dataset_id=name, algorithm_name="random", eval_env=env)
    episodes = list(dataset.iterate_episodes())
    seen = np.concatenate([episode.observations[:-1] for episode in episodes])
    chosen, rewards = (np.concatenate([getattr(one, what) for one in episodes]) for what in ("actions", "rewards"))
    pairs = lambda seen, number: np.column_stack([seen, *np.divmod(number, calls)])  # noqa: E731
    model = ExtraTreesRegressor(100, random_state=0, n_jobs=-1).fit(pairs(seen, chosen), rewards)

    def choose(seen):
        every = [model.predict(pairs(seen, np.full(len(seen), action))) for action in range(actions)]
        return np.argmax(every, axis=0)

    return choose


if __name__ == "__main__":
    judge(train(), "offline trees")
