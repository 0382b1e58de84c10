"""Training: the loop, several services as one environment, evaluation, and files of trained agents.

From outside, use any module: ``tasks`` (scenario + simulator to train on), ``configurations`` (who decides what),
``train`` (a whole training), ``trained`` (what comes of it, and its file), ``loop`` and ``evaluation`` (for agents of
your own), ``application`` (several services). This room imports agents, learners and policies, and of meshgym
environments, simulators and all above them.
"""
