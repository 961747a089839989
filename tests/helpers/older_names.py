from torch import Tensor


def older(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """With the names that files on their hub have."""
    for part in ("query", "value"):
        state = {
            name.replace(f"attention.{part}.bias", f"attention.{part[0]}_bias"): tensor
            for name, tensor in state.items()
        }
    return state
