from .agent import Agent as Agent
from .agent import Transition as Transition
from .errors import AgentError as AgentError
from .learners.collaborative import (
    CollaborativeDependentPair as CollaborativeDependentPair,
)
from .learners.collaborative import (
    CollaborativeDQN as CollaborativeDQN,
)
from .learners.collaborative import (
    CollaborativeIndependentPair as CollaborativeIndependentPair,
)
from .learners.dqn import DQN as DQN
from .learners.hyperparameters import PRESETS as PRESETS
from .learners.hyperparameters import Hyperparameters as Hyperparameters
from .learners.pairs import DependentPair as DependentPair
from .learners.pairs import IndependentPair as IndependentPair
from .policies import FixedAgent as FixedAgent
from .policies import OracleAgent as OracleAgent
from .policies import RandomAgent as RandomAgent
from .spaces import Spaces as Spaces
from .training.application import Application as Application
from .training.configurations import (
    CONFIGURATIONS as CONFIGURATIONS,
)
from .training.configurations import (
    Configuration as Configuration,
)
from .training.configurations import (
    load_configuration as load_configuration,
)
from .training.evaluation import Evaluation as Evaluation
from .training.evaluation import RewardGrid as RewardGrid
from .training.evaluation import evaluate as evaluate
from .training.loop import History as History
from .training.loop import play as play
from .training.loop import train as train
from .training.tasks import Task as Task
from .training.train import train_agent as train_agent
from .training.trained import (
    Trained as Trained,
)
from .training.trained import (
    evaluate_trained as evaluate_trained,
)
from .training.trained import (
    load_trained as load_trained,
)
from .training.trained import (
    save_trained as save_trained,
)
