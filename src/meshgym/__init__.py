"""Find the load that breaks a service in a mesh, and the traffic rules that hold."""

from meshgym.envs.registration import register_environments

register_environments()
