"""The moving average is the stated one, and validating with it leaves training as it was."""

import pytest
import torch
from torch import Tensor, nn

from timellm_pipeline.training.average import DECAY, Average


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Current values, as a copy."""
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def train(module: nn.Module, average: Average, first: int, last: int) -> list[dict[str, Tensor]]:
    """Weights after each of the updates `first` to `last`, which are added to the average."""
    path = []
    for number in range(first, last + 1):
        generator = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for weight in module.parameters():
                weight.add_(torch.randn(weight.shape, generator=generator))
        average.update(number)
        path.append(weights_of(module))
    return path


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert torch.equal(values, other[name]), name


def test_the_average_is_the_weighted_sum_of_all_weights_so_far() -> None:
    """With another decay the average would lag far behind, or be the last weights under another name."""
    module = network()
    average = Average(dict(module.named_parameters()))
    path = [weights_of(module), *train(module, average, 1, 1_200)]
    for name, found in average.weights.items():
        expected, remaining = torch.zeros_like(found, dtype=torch.float64), 1.0
        for number in range(1_200, -1, -1):  # the newest weights first
            decay = min(0.99, (1 + number) / (10 + number)) if number else 0.0
            expected += remaining * (1 - decay) * path[number][name].double()
            remaining *= decay
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
    assert DECAY == 0.99 < 1_201 / 1_210


def test_an_early_average_has_forgotten_the_initial_weights() -> None:
    """With a fixed decay of .99, a short training would return little more than its random initial weights."""
    module = network()
    with torch.no_grad():
        for weight in module.parameters():
            weight.fill_(1e6)
    average = Average(dict(module.named_parameters()))
    with torch.no_grad():
        for weight in module.parameters():
            weight.fill_(1.0)
    for number in range(1, 21):
        average.update(number)
    for found in average.weights.values():
        assert found.max() < 1 + 1e6 * 1e-4


def test_the_average_starts_from_the_weights_and_is_no_view_of_them() -> None:
    """As a view it would follow every update, and average nothing."""
    module = network()
    before = weights_of(module)
    average = Average(dict(module.named_parameters()))
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(1)
    assert_equal(average.weights, before)
    average.update(1)
    for name, found in average.weights.items():
        torch.testing.assert_close(found, before[name] + 9 / 11)  # decay 2 / 11
        assert not found.requires_grad


def test_applied_weights_are_the_average_and_training_continues_with_its_own() -> None:
    """A validation that leaves the average in the network would change every later step."""
    module = network()
    average = Average(dict(module.named_parameters()))
    train(module, average, 1, 5)
    before, averaged = weights_of(module), {name: weight.clone() for name, weight in average.weights.items()}
    parameters = [id(weight) for weight in module.parameters()]
    with average.applied():
        assert_equal(weights_of(module), averaged)
        assert module(torch.ones(1, 3)).requires_grad
    assert_equal(weights_of(module), before)
    assert_equal(average.weights, averaged)
    assert [id(weight) for weight in module.parameters()] == parameters, "the optimizer holds these"


def test_an_interrupted_validation_gives_the_weights_back() -> None:
    """A checkpoint saved after Ctrl+C would contain the average as the current weights."""
    module = network()
    average = Average(dict(module.named_parameters()))
    train(module, average, 1, 5)
    before = weights_of(module)
    with pytest.raises(KeyboardInterrupt), average.applied():
        raise KeyboardInterrupt
    assert_equal(weights_of(module), before)


def test_a_restored_average_continues_as_if_uninterrupted() -> None:
    """A resumed training would end with other weights than an uninterrupted one."""
    module = network()
    complete = Average(dict(module.named_parameters()))
    train(module, complete, 1, 12)
    at_12, average_at_12 = weights_of(module), {name: weight.clone() for name, weight in complete.weights.items()}
    train(module, complete, 13, 30)

    resumed = network(seed=1)
    average = Average(dict(resumed.named_parameters()))
    with torch.no_grad():
        for name, weight in resumed.named_parameters():
            weight.copy_(at_12[name])
    average.restore(average_at_12)
    assert_equal(average.weights, average_at_12)
    train(resumed, average, 13, 30)
    assert_equal(average.weights, complete.weights)
    assert_equal(weights_of(resumed), weights_of(module))
    changed = {name: weight.clone() for name, weight in average_at_12.items()}
    train(resumed, average, 31, 31)
    assert_equal(average_at_12, changed)  # the saved tensors are copied, not adopted
