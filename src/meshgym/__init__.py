"""Find the load that breaks a service in a mesh, and the traffic rules that hold.

``__init__.pyi`` lists the public names. Each is imported when it is first used, because some modules take long.
"""

import lazy_loader

from meshgym.envs.registration import register_environments

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

register_environments()
