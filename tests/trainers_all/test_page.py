"""The snippets of the page "With your trainer" that need heavy packages run."""

from __future__ import annotations

import pytest
import torch

from support.trainer_snippets import run_snippets


@pytest.mark.usefixtures("ray")
@pytest.mark.filterwarnings("ignore")  # Both packages warn of their own code.
@pytest.mark.timeout(300)
def test_the_snippets_of_the_page_run() -> None:
    torch.manual_seed(1)
    torch.set_num_threads(1)
    assert run_snippets("trainers_all/test_page") == 2
