"""Tags of nodes. `kedro run --tags data` runs the nodes with that tag; several tags select nodes with any of them.

| tag | nodes | for example |
|---|---|---|
| `data` | raw file to window index and run plan | `kedro run --tags data`: check a file without training |
| `cpu` | use no GPU | `kedro run --pipeline explain --tags cpu` |
| `gpu` | run the network, on a GPU if available; and write the run manifest of that run | `kedro run --tags gpu` |
| `plots` | plot saved results | `kedro run --tags plots`: plot again without training |

Every node has `cpu` or `gpu`. Nodes that gather settings have both: each run uses its own parameters. To prepare data
on one machine and train on another, run `--tags data` on the first and `--tags gpu` on the second, with the same
`data_root` and parameters: the newest versions of the inputs that an earlier run saved are loaded. The `gpu` run writes
the run manifest.
"""

DATA = "data"
CPU = "cpu"
GPU = "gpu"
PLOTS = "plots"
EITHER = [CPU, GPU]
