"""A text classifier with LoRA adapters of peft, not merged; only they and the head were trained."""

import torch
from peft import LoraConfig, get_peft_model

from landscape_mpi import Problem
from problems import text_classifier


def network():
    torch.manual_seed(6)
    adapters = LoraConfig(
        task_type="SEQ_CLS",
        r=3,
        lora_alpha=12,
        lora_dropout=0.1,
        target_modules=["query", "value"],
        init_lora_weights=False,  # as after training: the second factor is not zero
    )
    return get_peft_model(text_classifier.network(), adapters)


def data():
    return text_classifier.data()["train"]


def problem():
    return Problem(network(), data(), text_classifier.loss)
